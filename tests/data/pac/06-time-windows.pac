// Backups and video may only use the line at night; the lab is closed on week-ends.
function FindProxyForURL(url, host) {
    if (dnsDomainIs(host, ".backup.example.net")) {
        return timeRange(20, 6) || timeRange(22, 0, 5, 59) ? "PROXY night:8080" : "PROXY blocked:9";
    }
    if (shExpMatch(host, "*video*")) { return timeRange(9, 17) ? "PROXY slow:8080" : "PROXY fast:8080"; }
    if (dnsDomainIs(host, ".lab.example")) { return weekdayRange("MON", "FRI") ? "DIRECT" : "PROXY closed:9"; }
    if (dateRange("DEC") || dateRange(24, "DEC", 6, "JAN")) { return "PROXY holiday:8080"; }
    if (dateRange(1, 15)) { return "PROXY first-half:8080"; }
    if (timeRange(10, 0, 12, 0, "GMT")) { return "PROXY morning:8080"; }
    return "PROXY any:8080";
}
