// Like in the days before timeRange worked everywhere.
function FindProxyForURL(url, host) {
    var now = new Date();
    var hour = now.getUTCHours(), day = now.getUTCDay(), month = now.getUTCMonth() + 1;
    if (day == 0 || day == 6) return "PROXY weekend:8080";
    if (hour < 7 || hour >= 19) return "PROXY night:8080";
    return "PROXY work-" + month + "-" + hour + ":8080";
}
