// On a small screen the menu is closed until it is asked for.
const menu = document.querySelector("details.menu");
if (menu && matchMedia("(max-width: 59.99rem)").matches) menu.open = false;
// On a large one it scrolls in itself: where somebody is stands in its middle.
const nav = menu?.querySelector("nav");
const here = nav?.querySelector("[aria-current]");
if (here) nav.scrollTop = here.offsetTop - nav.offsetTop - nav.clientHeight / 2;
