function FindProxyForURL(url, host) {
    switch (dnsDomainLevels(host)) {
        case 0: return "DIRECT";
        case 1: return "PROXY two-labels:8080";
        case 2: return "PROXY three-labels:8080";
        case 3: return "PROXY four-labels:8080";
        default: return "PROXY deep:8080";
    }
}
