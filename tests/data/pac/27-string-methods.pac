function endsWith(text, end) { return text.length >= end.length && text.lastIndexOf(end) == text.length - end.length; }
function beginsWith(text, begin) { return text.slice(0, begin.length) == begin; }
function FindProxyForURL(url, host) {
    var h = host.replace(/^www\d*\./, "").toLowerCase();
    if (h.search(/\./) == -1) return "DIRECT";
    if (endsWith(h, ".example")) return "PROXY ours:8080";
    if (beginsWith(h, "api.") || beginsWith(h, "cdn")) return "PROXY machines:8080";
    if (h.match(/[aeiou]{2}/)) return "PROXY vowels:8080";
    if (h.charAt(0) < "m") return "PROXY a-to-l:8080";
    return "PROXY m-to-z:8080";
}
