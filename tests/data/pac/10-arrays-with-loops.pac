var noProxy = [ "corp.example", "intra.example", "dev.example", "lab.example", "partner.example" ];
var noProxyNets = [
  [ "10.0.0.0", "255.0.0.0" ], [ "172.16.0.0", "255.240.0.0" ], [ "192.168.0.0", "255.255.0.0" ],
  [ "169.254.0.0", "255.255.0.0" ], [ "100.64.0.0", "255.192.0.0" ]
];
function FindProxyForURL(url, host) {
  var n;
  for (n = 0; n < noProxy.length; n++) {
    if (host == noProxy[n] || dnsDomainIs(host, "." + noProxy[n])) return "DIRECT";
  }
  if (/^\d+\.\d+\.\d+\.\d+$/.test(host)) {
    for (n in noProxyNets) {
      if (isInNet(host, noProxyNets[n][0], noProxyNets[n][1])) return "DIRECT";
    }
    return "PROXY literal:8080";
  }
  return "PROXY named:8080";
}
