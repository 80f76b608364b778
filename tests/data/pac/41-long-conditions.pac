function FindProxyForURL(url, host) {
if (
  (isPlainHostName(host)) ||
  (shExpMatch(host, "*.corp.example")) ||
  (shExpMatch(host, "*.intra.example")) ||
  (shExpMatch(host, "*.lab.example") && !shExpMatch(host, "public.*")) ||
  (isInNet(host, "10.0.0.0", "255.0.0.0") && !(isInNet(host, "10.99.0.0", "255.255.0.0"))) ||
  (isInNet(host, "172.16.0.0", "255.240.0.0")) ||
  (isInNet(host, "192.168.0.0", "255.255.0.0")) ||
  (isInNet(host, "127.0.0.0", "255.0.0.0"))
) { return "DIRECT" } else if (
  (url.indexOf("?") > -1 && url.indexOf("noproxy=1") > -1) || (/\.(?:pac|dat|crl)$/).test(url)
) { return "PROXY bypass:8080; DIRECT" } else { return "PROXY proxy:8080" }
}
