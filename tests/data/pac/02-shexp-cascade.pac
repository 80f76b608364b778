/* Northwind Traders - proxy configuration. Owner: Workplace Services. Change only by ticket. */
function FindProxyForURL(url, host) {
  host = host.toLowerCase();
  url = url.toLowerCase();
  if (shExpMatch(host, "localhost*") || shExpMatch(host, "127.*")) { return "DIRECT"; }
  if (shExpMatch(host, "10.*") || shExpMatch(host, "192.168.*")) { return "DIRECT"; }
  if (shExpMatch(host, "*.northwind.example")) { return "DIRECT"; }
  if (shExpMatch(url, "ftp:*")) { return "PROXY ftp-proxy.northwind.example:2121"; }
  if (shExpMatch(url, "https:*bank*")) { return "PROXY finance-proxy.northwind.example:8443"; }
  if (shExpMatch(url, "*/updates/*.cab") || shExpMatch(url, "*/updates/*.exe")) { return "PROXY wsus.northwind.example:8530; DIRECT"; }
  if (shExpMatch(host, "*.cdn?.example.net")) { return "PROXY cdn-proxy.northwind.example:3128"; }
  if (shExpMatch(host, "*video*") || shExpMatch(host, "*stream*")) { return "PROXY video.northwind.example:8080"; }
  return "PROXY proxy.northwind.example:8080";
}
