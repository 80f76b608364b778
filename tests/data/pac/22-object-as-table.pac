var routes = {
    "example.com": "PROXY com:8080",
    "example.net": "PROXY net:8080; DIRECT",
    "example.org": "SOCKS5 org:1080",
    "corp.example": "DIRECT",
    "dev.example": "HTTPS dev:443"
};
function FindProxyForURL(url, host) {
    var labels = host.toLowerCase().split(".");
    while (labels.length) {
        var name = labels.join(".");
        if (Object.prototype.hasOwnProperty.call(routes, name)) return routes[name];
        labels.shift();
    }
    return "PROXY default:8080";
}
