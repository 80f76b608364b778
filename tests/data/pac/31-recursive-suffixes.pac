function lookup(table, host) {
    if (table[host]) return table[host];
    var dot = host.indexOf(".");
    return dot < 0 ? null : lookup(table, host.substring(dot + 1));
}
var direct = { "corp.example": 1, "intra.example": 1, "example.net": 1 }, blocked = { "ads.example.com": 1, "tracker.example.org": 1 };
function FindProxyForURL(url, host) {
    if (lookup(blocked, host)) return "PROXY 127.0.0.1:9";
    if (lookup(direct, host)) return "DIRECT";
    return "PROXY proxy:8080";
}
