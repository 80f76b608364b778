// Written by three people. Every style of separator is in here.
function FindProxyForURL(url, host) {
    if (isPlainHostName(host)) return "direct";
    if (shExpMatch(host, "*.com")) return "PROXY a:8080 ; PROXY b:8080;;";
    if (shExpMatch(host, "*.net")) return "\tproxy c:8080;\n\tDIRECT\n";
    if (shExpMatch(host, "*.org")) return "PROXY d;HTTPS e;SOCKS f;SOCKS5 g";
    return "QUIC q:443; PROXY h:3128; nonsense";
}
