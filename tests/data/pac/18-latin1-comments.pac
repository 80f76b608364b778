// Netzwerkdienste Zürich, Büro 4 - Änderungen nur über das Ticketsystem. Größe der Liste: klein.
function FindProxyForURL(url, host) {
    var straße = ".zuerich.example";
    if (dnsDomainIs(host, straße) || isPlainHostName(host)) return "DIRECT";
    return "PROXY zürich".replace("ü", "ue") + ".corp.example:8080";
}
