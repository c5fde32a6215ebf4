// On a small screen the menu is closed until it is asked for.
const menu = document.querySelector("details.menu");
if (menu && matchMedia("(max-width: 59.99rem)").matches) menu.open = false;
