function FindProxyForURL(url, host) {
    var all = dnsResolve(host);
    if (!all) return "PROXY nothing:8080";
    var parts = all.split(".");
    if (parts.length != 4) return "PROXY not-v4:8080";
    var sorted = parts.slice().sort(function (a, b) { return a - b; });
    return "PROXY n" + sorted.join("-") + ":8080";
}
