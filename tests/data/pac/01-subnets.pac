// Acme Corporation, network services. Internal networks go direct, the rest through the nearest pair of proxies.
function FindProxyForURL(url, host) {
    if (isPlainHostName(host) || dnsDomainIs(host, ".acme.example")) {
        return "DIRECT";
    }
    var ip = dnsResolve(host);
    if (isInNet(ip, "10.0.0.0", "255.0.0.0") ||
        isInNet(ip, "172.16.0.0", "255.240.0.0") ||
        isInNet(ip, "192.168.0.0", "255.255.0.0") ||
        isInNet(ip, "127.0.0.0", "255.0.0.0")) {
        return "DIRECT";
    }
    return "PROXY proxy1.acme.example:8080; PROXY proxy2.acme.example:8080";
}
