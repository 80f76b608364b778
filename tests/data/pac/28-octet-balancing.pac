// Clients are spread over proxies by the last octet of their own address.
function FindProxyForURL(url, host) {
    if (isPlainHostName(host)) return "DIRECT";
    var octets = myIpAddress().split(".");
    var slot = parseInt(octets[3], 10) % 4;
    var site = octets[1] == "20" ? "paris" : "other";
    var list = "";
    for (var i = 0; i < 4; i++) list += "PROXY " + site + ((slot + i) % 4) + ":8080; ";
    return list + "DIRECT";
}
