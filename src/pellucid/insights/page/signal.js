// A value that changes often (the pointed-at cell) and redraws only what listens to it.
import {useEffect, useState} from "./vendor/preact.js";

export class Signal {
  constructor(value) {
    this.value = value;
    this.listeners = new Set();
  }

  set(value) {
    if (value === this.value) return;
    this.value = value;
    for (const listener of [...this.listeners]) listener(value);
  }
}

export function useSignal(signal) {
  const [value, setValue] = useState(signal.value);
  useEffect(() => {
    setValue(signal.value);
    signal.listeners.add(setValue);
    return () => signal.listeners.delete(setValue);
  }, [signal]);
  return value;
}
