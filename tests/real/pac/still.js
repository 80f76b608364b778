// Put before a script in the other engines: the clock of the corpus and its network. ES3, which pacparser speaks.
(function (root, now) {
  var Real = Date;
  function Still(y, m, d, h, i, s, ms) {
    if (!(this instanceof Still)) return new Real(now).toString();
    switch (arguments.length) {
      case 0: return new Real(now);
      case 1: return new Real(y);
      default: return new Real(y, m, d === undefined ? 1 : d, h || 0, i || 0, s || 0, ms || 0);
    }
  }
  Still.prototype = Real.prototype;
  Still.UTC = Real.UTC;
  Still.parse = Real.parse;
  Still.now = function () { return now; };
  root.Date = Still;
})(this, NOW);
