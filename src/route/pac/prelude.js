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
})
