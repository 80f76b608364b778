// Head office, all sites. Part 1: addresses. Part 2: what stays inside. Part 3: partners and clouds. Part 4: the rest.
// Last reviewed by network services; see the change log in the wiki before touching anything.

var P_EU = "PROXY eu1.proxy.head.example:8080; PROXY eu2.proxy.head.example:8080";
var P_US = "PROXY us1.proxy.head.example:8080; PROXY us2.proxy.head.example:8080";
var P_AP = "PROXY ap1.proxy.head.example:8080; PROXY ap2.proxy.head.example:8080; DIRECT";

function FindProxyForURL(url, host) {
    var lower = host.toLowerCase();
    var secure = url.substring(0, 6) == "https:";
    if (lower.indexOf(".") == -1 && lower.indexOf(":") == -1) return "DIRECT";
    if (lower == "localhost" || shExpMatch(lower, "127.*")) return "DIRECT";
    var literal = /^\d+\.\d+\.\d+\.\d+$/.test(lower);
    if (literal) {
        if (isInNet(lower, "10.0.0.0", "255.248.0.0")) return "DIRECT"; // site 1
        if (isInNet(lower, "10.8.0.0", "255.248.0.0")) return "DIRECT"; // site 2
        if (isInNet(lower, "10.16.0.0", "255.248.0.0")) return "DIRECT"; // site 3
        if (isInNet(lower, "10.24.0.0", "255.248.0.0")) return "DIRECT"; // site 4
        if (isInNet(lower, "10.32.0.0", "255.248.0.0")) return "DIRECT"; // site 5
        if (isInNet(lower, "10.40.0.0", "255.248.0.0")) return "DIRECT"; // site 6
        if (isInNet(lower, "10.48.0.0", "255.248.0.0")) return "DIRECT"; // site 7
        if (isInNet(lower, "10.56.0.0", "255.248.0.0")) return "DIRECT"; // site 8
        if (isInNet(lower, "10.64.0.0", "255.248.0.0")) return "DIRECT"; // site 9
        if (isInNet(lower, "10.72.0.0", "255.248.0.0")) return "DIRECT"; // site 10
        if (isInNet(lower, "10.80.0.0", "255.248.0.0")) return "DIRECT"; // site 11
        if (isInNet(lower, "10.88.0.0", "255.248.0.0")) return "DIRECT"; // site 12
        if (isInNet(lower, "10.96.0.0", "255.248.0.0")) return "DIRECT"; // site 13
        if (isInNet(lower, "10.104.0.0", "255.248.0.0")) return "DIRECT"; // site 14
        if (isInNet(lower, "10.112.0.0", "255.248.0.0")) return "DIRECT"; // site 15
        if (isInNet(lower, "10.120.0.0", "255.248.0.0")) return "DIRECT"; // site 16
        if (isInNet(lower, "10.128.0.0", "255.248.0.0")) return "DIRECT"; // site 17
        if (isInNet(lower, "10.136.0.0", "255.248.0.0")) return "DIRECT"; // site 18
        if (isInNet(lower, "10.144.0.0", "255.248.0.0")) return "DIRECT"; // site 19
        if (isInNet(lower, "10.152.0.0", "255.248.0.0")) return "DIRECT"; // site 20
        if (isInNet(lower, "10.160.0.0", "255.248.0.0")) return "DIRECT"; // site 21
        if (isInNet(lower, "10.168.0.0", "255.248.0.0")) return "DIRECT"; // site 22
        if (isInNet(lower, "10.176.0.0", "255.248.0.0")) return "DIRECT"; // site 23
        if (isInNet(lower, "10.184.0.0", "255.248.0.0")) return "DIRECT"; // site 24
        if (isInNet(lower, "10.192.0.0", "255.248.0.0")) return "DIRECT"; // site 25
        if (isInNet(lower, "10.200.0.0", "255.248.0.0")) return "DIRECT"; // site 26
        if (isInNet(lower, "10.208.0.0", "255.248.0.0")) return "DIRECT"; // site 27
        if (isInNet(lower, "10.216.0.0", "255.248.0.0")) return "DIRECT"; // site 28
        if (isInNet(lower, "10.224.0.0", "255.248.0.0")) return "DIRECT"; // site 29
        if (isInNet(lower, "10.232.0.0", "255.248.0.0")) return "DIRECT"; // site 30
        if (isInNet(lower, "172.16.0.0", "255.240.0.0")) return "DIRECT";
        if (isInNet(lower, "192.168.0.0", "255.255.0.0")) return "DIRECT";
    }
    if (dnsDomainIs(lower, ".finance.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".hr.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".payroll.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".wiki.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".jira.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".confluence.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".build.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".artifacts.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".git.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".erp.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".crm.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".sap.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".portal.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".vpn.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".mail.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".calendar.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".video.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".meet.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".docs.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".share.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".print.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".scan.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".badge.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".travel.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".expense.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".learn.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".legal.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".audit.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".risk.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".cloud.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".mobile.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".kiosk.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".plant.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".store.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".depot.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".lab.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".qa.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".uat.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".stage.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".prod.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".dmz.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".edge.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".mirror.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".proxy.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".update.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".patch.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".ntp.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".time.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".status.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".monitor.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".grafana.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".kibana.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".search.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".index.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".api.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".gateway.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".auth.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".sso.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".login.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".idp.head.example")) return "DIRECT";
    if (dnsDomainIs(lower, ".ldap.head.example")) return "DIRECT";
    if (shExpMatch(lower, "*.finance.partner0.example")) return P_EU;
    if (shExpMatch(lower, "*.hr.partner1.example")) return P_US;
    if (shExpMatch(lower, "*.payroll.partner2.example")) return P_AP;
    if (shExpMatch(lower, "*.wiki.partner3.example")) return P_EU;
    if (shExpMatch(lower, "*.jira.partner4.example")) return P_US;
    if (shExpMatch(lower, "*.confluence.partner5.example")) return P_AP;
    if (shExpMatch(lower, "*.build.partner6.example")) return P_EU;
    if (shExpMatch(lower, "*.artifacts.partner7.example")) return P_US;
    if (shExpMatch(lower, "*.git.partner8.example")) return P_AP;
    if (shExpMatch(lower, "*.erp.partner0.example")) return P_EU;
    if (shExpMatch(lower, "*.crm.partner1.example")) return P_US;
    if (shExpMatch(lower, "*.sap.partner2.example")) return P_AP;
    if (shExpMatch(lower, "*.portal.partner3.example")) return P_EU;
    if (shExpMatch(lower, "*.vpn.partner4.example")) return P_US;
    if (shExpMatch(lower, "*.mail.partner5.example")) return P_AP;
    if (shExpMatch(lower, "*.calendar.partner6.example")) return P_EU;
    if (shExpMatch(lower, "*.video.partner7.example")) return P_US;
    if (shExpMatch(lower, "*.meet.partner8.example")) return P_AP;
    if (shExpMatch(lower, "*.docs.partner0.example")) return P_EU;
    if (shExpMatch(lower, "*.share.partner1.example")) return P_US;
    if (shExpMatch(lower, "*.print.partner2.example")) return P_AP;
    if (shExpMatch(lower, "*.scan.partner3.example")) return P_EU;
    if (shExpMatch(lower, "*.badge.partner4.example")) return P_US;
    if (shExpMatch(lower, "*.travel.partner5.example")) return P_AP;
    if (shExpMatch(lower, "*.expense.partner6.example")) return P_EU;
    if (shExpMatch(lower, "*.learn.partner7.example")) return P_US;
    if (shExpMatch(lower, "*.legal.partner8.example")) return P_AP;
    if (shExpMatch(lower, "*.audit.partner0.example")) return P_EU;
    if (shExpMatch(lower, "*.risk.partner1.example")) return P_US;
    if (shExpMatch(lower, "*.cloud.partner2.example")) return P_AP;
    if (shExpMatch(lower, "*.mobile.partner3.example")) return P_EU;
    if (shExpMatch(lower, "*.kiosk.partner4.example")) return P_US;
    if (shExpMatch(lower, "*.plant.partner5.example")) return P_AP;
    if (shExpMatch(lower, "*.store.partner6.example")) return P_EU;
    if (shExpMatch(lower, "*.depot.partner7.example")) return P_US;
    if (shExpMatch(lower, "*.lab.partner8.example")) return P_AP;
    if (shExpMatch(lower, "*.qa.partner0.example")) return P_EU;
    if (shExpMatch(lower, "*.uat.partner1.example")) return P_US;
    if (shExpMatch(lower, "*.stage.partner2.example")) return P_AP;
    if (shExpMatch(lower, "*.prod.partner3.example")) return P_EU;
    if (shExpMatch(lower, "*.dmz.partner4.example")) return P_US;
    if (shExpMatch(lower, "*.edge.partner5.example")) return P_AP;
    if (shExpMatch(lower, "*.mirror.partner6.example")) return P_EU;
    if (shExpMatch(lower, "*.proxy.partner7.example")) return P_US;
    if (shExpMatch(lower, "*.update.partner8.example")) return P_AP;
    if (shExpMatch(lower, "*.patch.partner0.example")) return P_EU;
    if (shExpMatch(lower, "*.ntp.partner1.example")) return P_US;
    if (shExpMatch(lower, "*.time.partner2.example")) return P_AP;
    if (shExpMatch(lower, "*.status.partner3.example")) return P_EU;
    if (shExpMatch(lower, "*.monitor.partner4.example")) return P_US;
    if (shExpMatch(lower, "*.grafana.partner5.example")) return P_AP;
    if (shExpMatch(lower, "*.kibana.partner6.example")) return P_EU;
    if (shExpMatch(lower, "*.search.partner7.example")) return P_US;
    if (shExpMatch(lower, "*.index.partner8.example")) return P_AP;
    if (shExpMatch(lower, "*.api.partner0.example")) return P_EU;
    if (shExpMatch(lower, "*.gateway.partner1.example")) return P_US;
    if (shExpMatch(lower, "*.auth.partner2.example")) return P_AP;
    if (shExpMatch(lower, "*.sso.partner3.example")) return P_EU;
    if (shExpMatch(lower, "*.login.partner4.example")) return P_US;
    if (shExpMatch(lower, "*.idp.partner5.example")) return P_AP;
    if (shExpMatch(lower, "*.ldap.partner6.example")) return P_EU;
    if (localHostOrDomainIs(lower, "finance.example.net")) return P_EU;
    if (shExpMatch(url, "http*://hr*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "payroll.example.net")) return P_AP;
    if (shExpMatch(url, "http*://wiki*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "jira.example.net")) return P_US;
    if (shExpMatch(url, "http*://confluence*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "build.example.net")) return P_EU;
    if (shExpMatch(url, "http*://artifacts*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "git.example.net")) return P_AP;
    if (shExpMatch(url, "http*://erp*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "crm.example.net")) return P_US;
    if (shExpMatch(url, "http*://sap*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "portal.example.net")) return P_EU;
    if (shExpMatch(url, "http*://vpn*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "mail.example.net")) return P_AP;
    if (shExpMatch(url, "http*://calendar*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "video.example.net")) return P_US;
    if (shExpMatch(url, "http*://meet*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "docs.example.net")) return P_EU;
    if (shExpMatch(url, "http*://share*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "print.example.net")) return P_AP;
    if (shExpMatch(url, "http*://scan*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "badge.example.net")) return P_US;
    if (shExpMatch(url, "http*://travel*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "expense.example.net")) return P_EU;
    if (shExpMatch(url, "http*://learn*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "legal.example.net")) return P_AP;
    if (shExpMatch(url, "http*://audit*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "risk.example.net")) return P_US;
    if (shExpMatch(url, "http*://cloud*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "mobile.example.net")) return P_EU;
    if (shExpMatch(url, "http*://kiosk*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "plant.example.net")) return P_AP;
    if (shExpMatch(url, "http*://store*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "depot.example.net")) return P_US;
    if (shExpMatch(url, "http*://lab*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "qa.example.net")) return P_EU;
    if (shExpMatch(url, "http*://uat*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "stage.example.net")) return P_AP;
    if (shExpMatch(url, "http*://prod*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "dmz.example.net")) return P_US;
    if (shExpMatch(url, "http*://edge*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "mirror.example.net")) return P_EU;
    if (shExpMatch(url, "http*://proxy*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "update.example.net")) return P_AP;
    if (shExpMatch(url, "http*://patch*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "ntp.example.net")) return P_US;
    if (shExpMatch(url, "http*://time*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "status.example.net")) return P_EU;
    if (shExpMatch(url, "http*://monitor*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "grafana.example.net")) return P_AP;
    if (shExpMatch(url, "http*://kibana*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "search.example.net")) return P_US;
    if (shExpMatch(url, "http*://index*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "api.example.net")) return P_EU;
    if (shExpMatch(url, "http*://gateway*.example.com/*") && !secure) return P_US;
    if (localHostOrDomainIs(lower, "auth.example.net")) return P_AP;
    if (shExpMatch(url, "http*://sso*.example.com/*") && !secure) return P_EU;
    if (localHostOrDomainIs(lower, "login.example.net")) return P_US;
    if (shExpMatch(url, "http*://idp*.example.com/*") && !secure) return P_AP;
    if (localHostOrDomainIs(lower, "ldap.example.net")) return P_EU;
    if (dnsDomainIs(lower, ".finance0.cloud.example.org") || lower == "finance0.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".hr1.cloud.example.org") || lower == "hr1.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".payroll2.cloud.example.org") || lower == "payroll2.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".wiki3.cloud.example.org") || lower == "wiki3.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".jira4.cloud.example.org") || lower == "jira4.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".confluence5.cloud.example.org") || lower == "confluence5.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".build6.cloud.example.org") || lower == "build6.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".artifacts7.cloud.example.org") || lower == "artifacts7.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".git8.cloud.example.org") || lower == "git8.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".erp9.cloud.example.org") || lower == "erp9.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".crm10.cloud.example.org") || lower == "crm10.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".sap11.cloud.example.org") || lower == "sap11.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".portal12.cloud.example.org") || lower == "portal12.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".vpn13.cloud.example.org") || lower == "vpn13.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".mail14.cloud.example.org") || lower == "mail14.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".calendar15.cloud.example.org") || lower == "calendar15.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".video16.cloud.example.org") || lower == "video16.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".meet17.cloud.example.org") || lower == "meet17.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".docs18.cloud.example.org") || lower == "docs18.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".share19.cloud.example.org") || lower == "share19.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".print20.cloud.example.org") || lower == "print20.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".scan21.cloud.example.org") || lower == "scan21.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".badge22.cloud.example.org") || lower == "badge22.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".travel23.cloud.example.org") || lower == "travel23.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".expense24.cloud.example.org") || lower == "expense24.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".learn25.cloud.example.org") || lower == "learn25.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".legal26.cloud.example.org") || lower == "legal26.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".audit27.cloud.example.org") || lower == "audit27.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".risk28.cloud.example.org") || lower == "risk28.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".cloud29.cloud.example.org") || lower == "cloud29.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".mobile30.cloud.example.org") || lower == "mobile30.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".kiosk31.cloud.example.org") || lower == "kiosk31.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".plant32.cloud.example.org") || lower == "plant32.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".store33.cloud.example.org") || lower == "store33.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".depot34.cloud.example.org") || lower == "depot34.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".lab35.cloud.example.org") || lower == "lab35.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".qa36.cloud.example.org") || lower == "qa36.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".uat37.cloud.example.org") || lower == "uat37.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".stage38.cloud.example.org") || lower == "stage38.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".prod39.cloud.example.org") || lower == "prod39.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".dmz40.cloud.example.org") || lower == "dmz40.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".edge41.cloud.example.org") || lower == "edge41.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".mirror42.cloud.example.org") || lower == "mirror42.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".proxy43.cloud.example.org") || lower == "proxy43.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".update44.cloud.example.org") || lower == "update44.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".patch45.cloud.example.org") || lower == "patch45.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".ntp46.cloud.example.org") || lower == "ntp46.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".time47.cloud.example.org") || lower == "time47.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".status48.cloud.example.org") || lower == "status48.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".monitor49.cloud.example.org") || lower == "monitor49.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".grafana50.cloud.example.org") || lower == "grafana50.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".kibana51.cloud.example.org") || lower == "kibana51.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".search52.cloud.example.org") || lower == "search52.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".index53.cloud.example.org") || lower == "index53.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".api54.cloud.example.org") || lower == "api54.example.org") return "PROXY cloud2.head.example:3128";
    if (dnsDomainIs(lower, ".gateway55.cloud.example.org") || lower == "gateway55.example.org") return "PROXY cloud3.head.example:3128";
    if (dnsDomainIs(lower, ".auth56.cloud.example.org") || lower == "auth56.example.org") return "PROXY cloud0.head.example:3128";
    if (dnsDomainIs(lower, ".sso57.cloud.example.org") || lower == "sso57.example.org") return "PROXY cloud1.head.example:3128";
    if (dnsDomainIs(lower, ".example.org")) return P_EU;
    if (secure) {
        return P_US;
    }
    if (shExpMatch(url, "ftp:*")) {
        return "PROXY ftp.head.example:2121";
    }
    // Whatever is left.
    return P_EU + "; " + P_US;
}
