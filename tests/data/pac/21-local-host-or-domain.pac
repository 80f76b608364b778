function FindProxyForURL(url, host) {
    if (localHostOrDomainIs(host, "www.corp.example") || localHostOrDomainIs(host, "wiki.corp.example")) return "DIRECT";
    if (localHostOrDomainIs(host, "mail.example.com") || localHostOrDomainIs(host, "intranet.corp.example")) return "PROXY local:8080";
    return isResolvable(host) ? "PROXY found:8080" : "PROXY lost:8080";
}
