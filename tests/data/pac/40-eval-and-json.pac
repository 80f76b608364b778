// Settings came as JSON; clients too old for it got the old way.
var settings = (typeof JSON != "undefined" && JSON.parse)
    ? JSON.parse('{"main": "proxy.corp.example:8080", "bypass": ["corp.example", "intra.example"]}')
    : eval('({"main": "proxy.corp.example:8080", "bypass": ["corp.example", "intra.example"]})');
function FindProxyForURL(url, host) {
    for (var i = 0; i < settings.bypass.length; i++) {
        if (dnsDomainIs(host, "." + settings.bypass[i])) return "DIRECT";
    }
    return "PROXY " + settings.main;
}
