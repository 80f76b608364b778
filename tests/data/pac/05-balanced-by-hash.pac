// Requests for one host always leave through one proxy, so that sites see one address.
var PROXIES = ["proxy-a.corp.example:8080", "proxy-b.corp.example:8080", "proxy-c.corp.example:8080", "proxy-d.corp.example:8080"];
function hashOf(text) {
  var hash = 5381;
  for (var i = 0; i < text.length; i++) { hash = ((hash << 5) + hash + text.charCodeAt(i)) & 0x7fffffff; }
  return hash;
}
function FindProxyForURL(url, host) {
  if (isPlainHostName(host) || shExpMatch(host, "*.corp.example")) return "DIRECT";
  var first = hashOf(host.toLowerCase()) % PROXIES.length, list = [];
  for (var i = 0; i < PROXIES.length; i++) list[i] = "PROXY " + PROXIES[(first + i) % PROXIES.length];
  return list.join(";");
}
