// Split tunnel: what lives behind the VPN goes to its proxy while the VPN is up.
function FindProxyForURL(url, host) {
    var vpn = isInNet(myIpAddress(), "10.0.0.0", "255.0.0.0");
    var inside = dnsDomainIs(host, ".corp.example") || dnsDomainIs(host, ".intra.example") || isPlainHostName(host);
    if (vpn && inside) return "DIRECT";
    if (vpn) return "PROXY vpn-exit.corp.example:8080";
    if (inside) return "PROXY reverse.example.com:443";
    return "DIRECT";
}
