// Light or dark as the reader has chosen in the shell, which keeps it under this name; a plain script, for pages without the shell.
{
  let chosen = "auto";
  try {
    chosen = JSON.parse(localStorage.getItem("_x_adminTheme")) || "auto";
  } catch {
    // A browser that keeps nothing, or something else under that name.
  }
  const isDark = chosen === "dark" || (chosen === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", isDark);
}
