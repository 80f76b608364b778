// Patterns that are regular expressions in disguise.
function FindProxyForURL(url, host) {
    if (shExpMatch(host, "(*.corp.example|*.intra.example|intranet)")) return "DIRECT";
    if (shExpMatch(host, "www[0-9].*")) return "PROXY numbered:8080";
    if (shExpMatch(url, "*://*.example.(com|org)/*")) return "PROXY com-or-org:8080";
    return "PROXY rest:8080";
}
