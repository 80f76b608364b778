"""Answers of pacparser (SpiderMonkey and Mozilla's own library) as JSON: the questions come in on stdin, from pac-answers.json."""
import json
import sys
from pathlib import Path

import pacparser

HERE = Path(__file__).resolve().parent


def network(world):
    """pacparser asks the system's resolver; here its functions ask a table, and Mozilla's library around them is its own."""
    return """
    var hallpass_names = %s, hallpass_mine = %s;
    var hallpass_of = function (name) {
      name = String(name).toLowerCase();
      if (/^[0-9.]+$/.test(name) || name.indexOf(":") >= 0) return [name];
      return hallpass_names.hasOwnProperty(name) ? hallpass_names[name] : [];
    };
    dnsResolve = function (name) {   // pacparser asks for IPv4 only
      var found = hallpass_of(name);
      for (var i = 0; i < found.length; i++) { if (found[i].indexOf(":") < 0) return found[i]; }
      return null;
    };
    dnsResolveEx = function (name) { return hallpass_of(name).join(";"); };
    myIpAddress = function () { return hallpass_mine[0]; };
    myIpAddressEx = function () { return hallpass_mine.join(";"); };
    """ % (json.dumps(world["names"]), json.dumps(world["my_addresses"]))


def main():
    given = json.load(sys.stdin)
    before = network(given["world"]) + (HERE / "still.js").read_text().replace("NOW", str(given["now"])) + given["no_chance"]
    answers = {}
    for name, script in given["scripts"]:
        pacparser.init()
        try:
            pacparser.parse_pac_string(before + script)
            answers[name] = [answer(url, host) for url, host in given["questions"]]
        except Exception as error:
            answers[name] = [f"error: {error!r}"] * len(given["questions"])
        pacparser.cleanup()
    json.dump(answers, sys.stdout)


def answer(url, host):
    try:
        return pacparser.find_proxy(url, host)
    except Exception as error:
        return f"error: {error!r}"


main()
