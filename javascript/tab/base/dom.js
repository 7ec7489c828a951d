/** Elements made and filled. */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Make an element.
 * @template {string} T
 * @param {T} tag its name; "svg:line" makes one of a drawing.
 * @param {any} [props] `class`, `text`, `aria: {label}`, `data: {key}`, `on: {click}`; other names are set as
 *   property where the element has it (value, checked, disabled), else as attribute; null and false leave it out.
 * @param {...(Node|string|any[]|null|false)} children strings become text nodes of their own.
 * @returns {ElementOf<T>}
 */
export function el(tag, props, ...children) {
  const drawn = tag.startsWith('svg:');
  /** @type {any} */
  const made = drawn ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  if (tag === 'button') made.type = 'button';
  for (const [key, value] of Object.entries(props || {})) setProp(made, key, value, drawn);
  appendTo(made, children);
  return made;
}

function setProp(made, key, value, drawn) {
  if (value === null || value === undefined) return;
  if (key === 'class') made.setAttribute('class', value);
  else if (key === 'text') made.textContent = value;
  else if (key === 'on') Object.entries(value).forEach(([name, run]) => made.addEventListener(name, run));
  else if (key === 'aria') Object.entries(value).forEach(([name, said]) => made.setAttribute(`aria-${name}`, said));
  else if (key === 'data') Object.entries(value).forEach(([name, kept]) => (made.dataset[name] = kept));
  else if (key === 'style') made.setAttribute('style', value);
  else if (!drawn && key in made && key !== 'list' && key !== 'form') made[key] = value;
  else if (value !== false) made.setAttribute(key, value === true ? '' : value);
}

/** Add children as `el` takes them. */
export function appendTo(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Put other children in the place of those that are there. */
export function fillWith(parent, ...children) {
  parent.replaceChildren();
  appendTo(parent, children);
  return parent;
}

/** Set a text only where it is another one, so that a screen reader is not told the same again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
