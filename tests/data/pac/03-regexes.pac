// Regular expressions compiled once, as the web team likes them.
var INTERNAL = /^(?:[a-z0-9-]+\.)*(?:corp|intra|dev)\.example$/i;
var PRIVATE = /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.)/;
var SECURE = /^https:\/\//;
var ACCOUNTS = /(?:login|signin|auth|sso)\./i;
function FindProxyForURL(url, host) {
    if (INTERNAL.test(host) || PRIVATE.test(host)) return "DIRECT";
    var port = /^[a-z]+:\/\/[^\/]*:(\d+)\//.exec(url);
    if (port && port[1] !== "80" && port[1] !== "443") return "PROXY odd-ports.corp.example:" + (8000 + Number(port[1]) % 10);
    if (SECURE.test(url) && ACCOUNTS.test(host)) return "HTTPS secure.corp.example:443";
    return SECURE.test(url) ? "PROXY tls.corp.example:8080" : "PROXY plain.corp.example:8080";
}
