// Gespeichert mit Markierung: äöü €
function FindProxyForURL(url, host) {
    return dnsDomainIs(host, ".corp.example") ? "DIRECT" : "PROXY marked.corp.example:8080";
}
