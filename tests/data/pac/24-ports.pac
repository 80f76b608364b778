function portOf(url) {
    var start = url.indexOf("://") + 3, end = url.indexOf("/", start);
    var authority = url.substring(start, end < 0 ? url.length : end);
    var colon = authority.lastIndexOf(":");
    if (colon < 0 || authority.charAt(authority.length - 1) == "]") return url.indexOf("https:") == 0 ? 443 : 80;
    return parseInt(authority.substring(colon + 1), 10);
}
function FindProxyForURL(url, host) {
    var port = portOf(url);
    if (port == 80 || port == 443) return "PROXY web:8080";
    if (port >= 8000 && port < 9000) return "PROXY app:8080";
    return "PROXY other:" + (port % 100 + 8000);
}
