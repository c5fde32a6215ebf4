// Large keys for thumbs; the field itself stays, for keyboards and for phones without a script.
const field = document.getElementById("amount");
const keys = document.querySelector(".keys");
keys.hidden = false;
keys.addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (!key) return;
  if (key === "back") field.value = field.value.slice(0, -1);
  else if (key !== "." || !field.value.includes(".")) field.value = (field.value + key).slice(0, 24);
});
