function Rule(pattern, answer) { this.pattern = pattern; this.answer = answer; }
Rule.prototype.matches = function (url, host) {
    return this.pattern.indexOf("/") >= 0 ? shExpMatch(url, this.pattern) : shExpMatch(host, this.pattern);
};
var rules = [
    new Rule("*.corp.example", "DIRECT"),
    new Rule("*/login*", "PROXY login:8080"),
    new Rule("*/api/*", "PROXY api:8080"),
    new Rule("cdn*", "PROXY cdn:8080"),
    new Rule("*", "PROXY all:8080")
];
function FindProxyForURL(url, host) {
    for (var i in rules) { if (rules[i].matches && rules[i].matches(url, host)) return rules[i].answer; }
}
