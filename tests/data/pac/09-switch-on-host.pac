function FindProxyForURL(url, host) {
    switch (host.toLowerCase()) {
        case "intranet":
        case "wiki":
        case "www.corp.example":
            return "DIRECT";
        case "mail.example.com":
        case "calendar.example.com":
            return "PROXY office:8080";
        case "build.dev.example":
            return "SOCKS5 jump.corp.example:1080; PROXY office:8080";
        default:
            switch (host.split(".").pop()) {
                case "com": return "PROXY com:8080";
                case "net": return "PROXY net:8080";
                case "org": return "PROXY org:8080";
                default: return "PROXY rest:8080; DIRECT";
            }
    }
}
