// Buttons with data-copy copy that text, and say so where they stand. The clipboard is there in
// secure contexts alone; without it the buttons stay hidden, because the text stands beside them.
const SAID_MILLISECONDS = 1500;

async function copy(button) {
  const label = button.textContent;
  if (button.dataset.label !== undefined) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    return;
  }
  button.dataset.label = label;
  button.textContent = button.dataset.copied;
  setTimeout(() => {
    button.textContent = button.dataset.label;
    delete button.dataset.label;
  }, SAID_MILLISECONDS);
}

export function offer(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
offer(document);
