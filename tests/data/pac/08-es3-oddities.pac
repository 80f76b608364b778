<!-- Netscape Proxy Auto-Config, first written in 1998 -->
DIRECT_ANSWER = "DIRECT"
proxies = new Array()
proxies[0] = "PROXY old1:80"
proxies[proxies.length] = "PROXY old2:80"
function FindProxyForURL(url, host)
{
  if (url.substring(0, 5) == "http:") { which = 0 }
  else if (url.substring(0, 6) == "https:") { which = 1 }
  else if (url.substring(0, 4) == "ftp:") { return "SOCKS oldsocks:1080" }
  else { return DIRECT_ANSWER }
  with (host) { if (indexOf(".") == -1) return DIRECT_ANSWER }
  label: for (i in proxies) {
    if (i == which) { answer = proxies[i]; break label }
  }
  return answer + "; " + DIRECT_ANSWER
}
