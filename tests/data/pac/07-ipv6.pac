function FindProxyForURL(url, host) {
    if (isPlainHostName(host)) { return "DIRECT"; }
    if (host.indexOf(":") >= 0) {
        return host.toLowerCase().indexOf("fd") === 0 || host.indexOf("[fd") === 0 ? "DIRECT" : "PROXY [2001:db8:100::8]:8080";
    }
    if (dnsDomainIs(host, ".v6.example")) { return "PROXY [2001:db8:100::6]:3128; PROXY six.corp.example:3128"; }
    return "PROXY four.corp.example:3128";
}
