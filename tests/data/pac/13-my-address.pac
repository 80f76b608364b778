// Which office is this machine in?
function FindProxyForURL(url, host) {
    if (isPlainHostName(host) || dnsDomainIs(host, ".corp.example")) return "DIRECT";
    if (isInNet(myIpAddress(), "10.10.0.0", "255.255.0.0")) return "PROXY berlin:8080";
    if (isInNet(myIpAddress(), "10.20.0.0", "255.255.0.0")) return "PROXY paris:8080; PROXY berlin:8080";
    if (isInNet(myIpAddress(), "10.30.0.0", "255.255.0.0")) return "PROXY madrid:8080";
    return "DIRECT";
}
