  // The target: scheme, port, host (lower case, no brackets, no final dot), ip (bytes, or null for a name), url (as
  // the relay would see it) and whether it is this machine. null: only the relay can tell.
  function target(url, host) {
    var parts = /^([a-z][a-z0-9+.\-]*):\/\/([^\/?#]*)/.exec(lower(String(url)));
    if (!parts) return null;
    var t = { scheme: parts[1], port: 0, host: lower(String(host)), ip: null, url: String(url), local: false };
    var known = { http: 80, ws: 80, https: 443, wss: 443, ftp: 21 };
    if (!known.hasOwnProperty(t.scheme)) return null;
    var port = /:([0-9]*)$/.exec(parts[2].replace(/^.*@/, ""));
    t.port = port && port[1] !== "" ? Number(port[1]) : known[t.scheme];
    t.host = t.host.replace(/^\[(.*)\]$/, "$1");
    if (t.host.indexOf(":") >= 0) {
      t.ip = v6(t.host.replace(/%.*$/, ""));
      if (t.ip === null) return null;
      if (t.ip.length === 4) t.host = t.ip.join(".");
      t.local = isLocal(t);
      // A zone means something to this machine only.
      if (t.host.indexOf("%") >= 0 && !t.local) return null;
    } else {
      t.host = t.host.replace(/\.$/, "");
      if (!/^[a-z0-9\-._~!$&'()*+,;=]+$/.test(t.host)) return null;
      t.ip = v4(t.host);
      // Other spellings of addresses (0x7f.1) are for the relay to read.
      if (t.ip === null && /^[0-9]/.test(t.host.replace(/^.*\./, ""))) return null;
      t.local = isLocal(t);
    }
    // All but these come to the relay as tunnels, and the port is what it sees of them.
    if (t.scheme !== "http" && t.scheme !== "ftp") {
      t.scheme = t.port === 80 ? "http" : "https";
      t.url = t.scheme + "://" + (t.host.indexOf(":") >= 0 ? "[" + t.host + "]" : t.host) +
        (t.port === 80 || t.port === 443 ? "" : ":" + t.port) + "/";
    }
    return t;
  }

  // Not String.toLowerCase: that knows more letters than hosts have.
  function lower(text) {
    return text.replace(/[A-Z]/g, function (letter) { return letter.toLowerCase(); });
  }

  function v4(text) {
    if (!/^(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}$/.test(text)) return null;
    var bytes = text.split(".");
    for (var i = 0; i < 4; i++) {
      bytes[i] = Number(bytes[i]);
      if (bytes[i] > 255) return null;
    }
    return bytes;
  }

  // 16 bytes, or 4 for IPv4 dressed as IPv6.
  function v6(text) {
    var tail = /^(.*:)([^:]*\.[^:]*)$/.exec(text);
    if (tail) {
      var last = v4(tail[2]);
      if (last === null) return null;
      text = tail[1] + (last[0] * 256 + last[1]).toString(16) + ":" + (last[2] * 256 + last[3]).toString(16);
    }
    var halves = text.split("::");
    if (halves.length > 2) return null;
    var left = groups(halves[0]);
    var right = halves.length === 2 ? groups(halves[1]) : [];
    if (left === null || right === null) return null;
    var missing = 8 - left.length - right.length;
    if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
    while (missing-- > 0) left.push(0);
    var all = left.concat(right);
    var bytes = [];
    for (var i = 0; i < 8; i++) bytes.push(Math.floor(all[i] / 256), all[i] % 256);
    return startsWith(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255], 96) ? bytes.slice(12) : bytes;
  }

  function groups(text) {
    if (text === "") return [];
    var list = text.split(":");
    for (var i = 0; i < list.length; i++) {
      if (!/^[0-9a-f]{1,4}$/.test(list[i])) return null;
      list[i] = parseInt(list[i], 16);
    }
    return list;
  }

  function startsWith(bytes, prefix, bits) {
    for (var i = 0; bits > 0; i++, bits -= 8) {
      var unit = bits >= 8 ? 1 : Math.pow(2, 8 - bits);
      if (Math.floor(bytes[i] / unit) !== Math.floor(prefix[i] / unit)) return false;
    }
    return true;
  }

  function within(t, network, bits) {
    return t.ip !== null && t.ip.length === network.length && startsWith(t.ip, network, bits);
  }

  function isV4(t) {
    return t.ip !== null && t.ip.length === 4;
  }

  function between(t, first, last) {
    function number(bytes) {
      return ((bytes[0] * 256 + bytes[1]) * 256 + bytes[2]) * 256 + bytes[3];
    }
    return isV4(t) && number(first) <= number(t.ip) && number(t.ip) <= number(last);
  }

  function isLocal(t) {
    return t.host === "localhost" || below(t, "localhost") ||
      within(t, [127, 0, 0, 0], 8) || within(t, [169, 254, 0, 0], 16) || within(t, [0, 0, 0, 0], 32) ||
      within(t, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 127) ||
      within(t, [254, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 10) ||
      within(t, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 0], 104);
  }

  function below(t, name) {
    var at = t.host.length - name.length - 1;
    return t.ip === null && at > 0 && t.host.substring(at) === "." + name;
  }

  // Each * of the pattern stands for any characters.
  function like(pattern, text) {
    var at = 0, i = 0, after = -1, taken = 0;
    while (i < text.length) {
      if (pattern.charAt(at) === "*") {
        after = ++at;
        taken = i;
      } else if (pattern.charAt(at) === text.charAt(i)) {
        at++;
        i++;
      } else if (after >= 0) {
        at = after;
        i = ++taken;
      } else {
        return false;
      }
    }
    while (pattern.charAt(at) === "*") at++;
    return at === pattern.length;
  }

  function onlyDirect(answer) {
    return typeof answer === "string" && /^[\s;]*direct\s*(;\s*(direct)?\s*)*$/i.test(answer);
  }

