function FindProxyForURL(url, host) {
    if (weekdayRange("SAT", "SUN")) return "PROXY weekend:8080";
    if (weekdayRange("WED")) {
        if (dateRange("MAR")) return "PROXY march:8080";
        return "PROXY wednesday:8080";
    }
    if (dateRange(2020, 2030) && dateRange("JAN", "DEC")) return "PROXY decade:8080";
    return "PROXY never:8080";
}
