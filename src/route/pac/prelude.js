// Runs before the script: the clock and chance become ours, so that it is known who asked for them.
(function (clock, chance) {
  "use strict";
  var Real = Date;
  function Date_() {
    if (new.target === undefined) return new Real(clock()).toString();
    return Reflect.construct(Real, arguments.length ? arguments : [clock()], new.target);
  }
  Object.defineProperty(Date_, "name", { value: "Date", configurable: true });
  Object.defineProperty(Date_, "length", { value: 7, configurable: true });
  Object.defineProperty(Date_, "prototype", { value: Real.prototype, writable: false });
  Object.defineProperty(Real.prototype, "constructor", { value: Date_, writable: true, configurable: true });
  function method(object, name, value) {
    Object.defineProperty(object, name, { value: value, writable: true, configurable: true, enumerable: false });
  }
  method(Date_, "UTC", Real.UTC);
  method(Date_, "parse", Real.parse);
  method(Date_, "now", function now() { return clock(); });
  method(Math, "random", function random() { return chance(); });
  method(globalThis, "Date", Date_);

  // The engine cannot be interrupted within these, so they do not begin on lengths that no script means.
  var apply = Reflect.apply, most = 1e6;
  function check(value) {
    if (value !== null && typeof value === "object" && value.length > most) throw new RangeError("the array is too long");
  }
  ["copyWithin", "every", "fill", "filter", "find", "findIndex", "findLast", "findLastIndex", "flatMap", "forEach",
   "includes", "indexOf", "join", "lastIndexOf", "map", "reduce", "reduceRight", "reverse", "shift",
   "slice", "some", "sort", "splice", "toLocaleString", "toReversed", "toSorted", "toSpliced", "unshift", "with",
   "concat", "flat"].forEach(function (name) {
    var real = Array.prototype[name], nested = name === "concat" || name === "flat";
    function guarded() {
      check(this);
      if (nested) {
        for (var i = 0; i < arguments.length; i++) check(arguments[i]);
        for (var j = 0; name === "flat" && this != null && j < this.length; j++) check(this[j]);
      }
      return apply(real, this, arguments);
    }
    Object.defineProperty(guarded, "name", { value: name, configurable: true });
    Object.defineProperty(guarded, "length", { value: real.length, configurable: true });
    method(Array.prototype, name, guarded);
  });
  var iterators = Object.getPrototypeOf(Object.getPrototypeOf([].keys()));
  Object.getOwnPropertyNames(iterators).forEach(function (name) {
    if (name !== "constructor") delete iterators[name];
  });
})
