function FindProxyForURL(url, host) {
    var privateIP = /^(0|10|127|192\.168|172\.1[6789]|172\.2[0-9]|172\.3[01]|169\.254|192\.88\.99)\.[0-9.]+$/;
    var resolved_ip = dnsResolve(host);
    var country = "FR";
    /* Don't send non-FQDN or private IP auths to us */
    if (isPlainHostName(host) || isInNet(resolved_ip, "192.0.2.0", "255.255.255.0") || privateIP.test(resolved_ip))
        return "DIRECT";
    /* FTP goes directly */
    if (url.substring(0, 4) == "ftp:")
        return "DIRECT";
    /* test with the trust page of the gateway */
    if (((localHostOrDomainIs(host, "trust.gateway.example.net")) || (localHostOrDomainIs(host, "status.gateway.example.net"))) &&
        (url.substring(0, 5) == "http:" || url.substring(0, 6) == "https:"))
        return "DIRECT";
    /* cloud office bypass */
    if (shExpMatch(host, "*.office.example.com") || shExpMatch(host, "login.example.com"))
        return "DIRECT";
    if (country == "FR")
        return "PROXY paris2.gateway.example.net:80; PROXY frankfurt4.gateway.example.net:80; DIRECT";
    return "PROXY gateway.example.net:80; DIRECT";
}
