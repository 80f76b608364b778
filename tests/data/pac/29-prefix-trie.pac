// A trie of reversed labels built while loading: thousands of names would still be one walk.
var trie = {};
function put(name, answer) {
    var node = trie, labels = name.split(".").reverse();
    for (var i = 0; i < labels.length; i++) { node = node["." + labels[i]] || (node["." + labels[i]] = {}); }
    node.answer = answer;
}
put("example", "PROXY tld:8080");
put("corp.example", "DIRECT");
put("secret.corp.example", "PROXY vault:8080");
put("com", "PROXY com:8080");
put("example.com", "PROXY example-com:8080");
put("static.example.com", "PROXY cdn:8080; DIRECT");
function FindProxyForURL(url, host) {
    var node = trie, answer = "PROXY root:8080", labels = host.split(".").reverse();
    for (var i = 0; i < labels.length; i++) {
        node = node["." + labels[i]];
        if (!node) break;
        if (node.answer) answer = node.answer;
    }
    return answer;
}
