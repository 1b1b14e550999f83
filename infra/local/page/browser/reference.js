/** Shows the contract with Swagger UI, which its own script has defined. Nothing is requested but the document. */

const dark = matchMedia('(prefers-color-scheme: dark)');
dark.addEventListener('change', followScheme);
followScheme();

function followScheme() {
  document.documentElement.classList.toggle('dark-mode', dark.matches);
}

window.SwaggerUIBundle({
  url: '/api/openapi.json',
  dom_id: '#reference',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  // Requests from here would show element tokens.
  supportedSubmitMethods: [],
  validatorUrl: null,
});
