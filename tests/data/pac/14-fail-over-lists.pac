function FindProxyForURL(url, host) {
    var main = "PROXY p1.corp.example:8080; PROXY p2.corp.example:8080; PROXY p3.corp.example:8080";
    var tls = "HTTPS s1.corp.example:8443; HTTPS s2.corp.example:8443";
    var socks = "SOCKS5 k1.corp.example:1080; SOCKS k2.corp.example:1080";
    if (isPlainHostName(host)) return "DIRECT";
    if (url.substring(0, 4) == "ftp:") return socks + "; DIRECT";
    if (url.substring(0, 3) == "ws:" || url.substring(0, 4) == "wss:") return tls + "; " + main;
    if (shExpMatch(host, "*.example.org")) return tls + "; " + socks + "; " + main + "; DIRECT";
    return main;
}
