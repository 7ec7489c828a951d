/** Elements made and filled. */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Make an element.
 * @template {string} T
 * @param {T} tag its name; "svg:line" makes one of a drawing.
 * @param {ElementProps | null} [props] `class`, `text`, `aria: {label}`, `data: {key}`, `on: {click}`; other names are set as
 *   property where the element has it (value, checked, disabled), else as attribute; null and false leave it out.
 * @param {...Child} children strings become text nodes of their own.
 * @returns {ElementOf<T>}
 */
export function el(tag, props, ...children) {
  const drawn = tag.startsWith('svg:');
  const made = drawn ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  if (made instanceof HTMLButtonElement) made.type = 'button';
  for (const [key, value] of Object.entries(props || {})) setProp(made, key, value, drawn);
  appendTo(made, children);
  return /** @type {ElementOf<T>} */ (made);
}

/**
 * @param {HTMLElement | SVGElement} made
 * @param {string} key
 * @param {unknown} value
 * @param {boolean} drawn
 */
function setProp(made, key, value, drawn) {
  if (value === null || value === undefined) return;
  if (key === 'class') made.setAttribute('class', String(value));
  else if (key === 'text') made.textContent = String(value);
  else if (key === 'on') listenersOf(value).forEach(([name, run]) => made.addEventListener(name, run));
  else if (key === 'aria') textsOf(value).forEach(([name, said]) => made.setAttribute(`aria-${name}`, said));
  else if (key === 'data') textsOf(value).forEach(([name, kept]) => (made.dataset[name] = kept));
  else if (key === 'style') made.setAttribute('style', String(value));
  else if (!drawn && key in made && key !== 'list' && key !== 'form') Reflect.set(made, key, value);
  else if (value !== false) made.setAttribute(key, value === true ? '' : String(value));
}

/**
 * @param {object} value
 * @returns {[string, EventListener][]}
 */
const listenersOf = (value) => Object.entries(value);

/**
 * @param {object} value
 * @returns {[string, string][]}
 */
const textsOf = (value) => Object.entries(value).map(([name, one]) => [name, String(one)]);

/**
 * Add children as `el` takes them.
 * @param {ParentNode & Node} parent
 * @param {Child[]} children
 */
export function appendTo(parent, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) appendTo(parent, child);
    else parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/**
 * Put other children in the place of those that are there.
 * @template {ParentNode & Node} T
 * @param {T} parent
 * @param {...Child} children
 */
export function fillWith(parent, ...children) {
  parent.replaceChildren();
  appendTo(parent, children);
  return parent;
}

/**
 * Set a text only where it is another one, so that a screen reader is not told the same again.
 * @param {Node | null | undefined} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node && node.textContent !== text) node.textContent = text;
}
