// Poor man's load balancing.
function FindProxyForURL(url, host) {
    if (isPlainHostName(host)) return "DIRECT";
    var list = ["PROXY one:8080", "PROXY two:8080", "PROXY three:8080"];
    var first = Math.floor(Math.random() * list.length);
    return list.slice(first).concat(list.slice(0, first)).join("; ");
}
