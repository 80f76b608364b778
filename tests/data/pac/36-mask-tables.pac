// Offices by mask, longest first; addresses of hosts that do not resolve go to the core.
var offices = "10.20.30.0/255.255.255.0=PROXY floor3:8080|10.20.0.0/255.255.0.0=PROXY paris:8080|10.0.0.0/255.0.0.0=DIRECT|" +
    "198.51.100.0/255.255.255.0=PROXY dmz:8080|203.0.113.0/255.255.255.0=PROXY partner:8080";
function FindProxyForURL(url, host) {
    var rows = offices.split("|");
    for (var i = 0; i < rows.length; i++) {
        var parts = rows[i].split("="), net = parts[0].split("/");
        if (isInNet(host, net[0], net[1])) return parts[1];
    }
    return "PROXY core:8080";
}
