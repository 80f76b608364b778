function FindProxyForURL(url, host) {
    var chain = [];
    function add(kind, name, port) { chain.push(kind + " " + name + ":" + port); return chain; }
    function inDomains(list) {
        function ends(domain) { return host === domain || dnsDomainIs(host, "." + domain); }
        for (var i = 0; i < list.length; i++) { if (ends(list[i])) return true; }
        return false;
    }
    if (isPlainHostName(host)) return "DIRECT";
    if (inDomains(["partner.example", "supplier.example.net"])) { add("PROXY", "extranet", 8081); }
    if (inDomains(["example.com", "example.org"])) { add("PROXY", "main", 8080); }
    add("PROXY", "fallback", 8080);
    return chain.join("; ");
}
