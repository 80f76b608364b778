// IPv6-aware twin of proxy.pac for Windows clients.
function FindProxyForURLEx(url, host) {
    if (isPlainHostName(host)) return "DIRECT";
    if (isResolvableEx(host)) {
        var list = dnsResolveEx(host).split(";");
        for (var i = 0; i < list.length; i++) {
            if (isInNetEx(list[i], "fd00::/8") || isInNetEx(list[i], "10.0.0.0/8")) return "DIRECT";
            if (isInNetEx(list[i], "2001:db8::/32")) return "PROXY six:8080";
        }
        return "PROXY four:8080";
    }
    return "PROXY unknown:8080";
}
function FindProxyForURL(url, host) { return "PROXY legacy:8080"; }
