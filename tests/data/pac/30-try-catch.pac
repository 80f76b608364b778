function FindProxyForURL(url, host) {
    try {
        if (isResolvable(host) && isInNet(dnsResolve(host), "10.0.0.0", "255.0.0.0")) return "DIRECT";
        if (host.indexOf("example.org") > 0) throw new Error("org");
        return "PROXY tried:8080";
    } catch (e) {
        return "PROXY caught-" + e.message + ":8080";
    } finally {
        var done = true;
    }
}
