// One module for what every part of the page needs, so that all of it shares one preact.
import { h } from "preact";
import htm from "htm";

export { h, render, Fragment, Component, createContext, cloneElement } from "preact";
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useId } from "preact/hooks";
export { signal, computed, effect, batch, untracked, useSignal, useComputed, useSignalEffect } from "@preact/signals";
export const html = htm.bind(h);
