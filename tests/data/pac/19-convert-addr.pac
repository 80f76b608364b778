// Compares numbers instead of calling isInNet for every network.
var NETS = [ [ "10.0.0.0", "255.0.0.0" ], [ "198.51.100.0", "255.255.255.0" ], [ "203.0.113.128", "255.255.255.128" ] ];
for (var n = 0; n < NETS.length; n++) { NETS[n] = [ convert_addr(NETS[n][0]), convert_addr(NETS[n][1]) ]; }
function FindProxyForURL(url, host) {
    var ip = /^\d{1,3}(\.\d{1,3}){3}$/.test(host) ? host : dnsResolve(host);
    if (!ip) return "PROXY unresolved:8080";
    var number = convert_addr(ip);
    for (var i = 0; i < NETS.length; i++) { if ((number & NETS[i][1]) === NETS[i][0]) return "PROXY net" + i + ":8080"; }
    return "PROXY internet:8080";
}
