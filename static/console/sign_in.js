// The sign-in: one types at once. Not every browser heeds the autofocus of the field itself.

const [name, password] = ["username", "password"].map((one) => document.querySelector(`#login-form [name=${one}]`));
const first = name?.value ? password : name;
if ([document.body, name].includes(document.activeElement)) first?.focus();
