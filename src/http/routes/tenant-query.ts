import { z } from 'zod';
import { tenantId } from '../../settings/table.ts';

/** The parameter by which a super-admin names a tenant. */
export const tenantParameter = tenantId
  .optional()
  .describe('the tenant; only a super-admin may name one, all others have that of their token');

/** The parameters of a route that has no others. */
export const tenantQuery = z.strictObject({ tenant_id: tenantParameter });
